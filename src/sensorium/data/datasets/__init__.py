"""TODO data/datasets"""
