"""TODO data/sources"""
