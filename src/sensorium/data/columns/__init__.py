"""TODO data/columns"""
