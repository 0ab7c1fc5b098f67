"""TODO data/media"""
