"""TODO data/targets"""
