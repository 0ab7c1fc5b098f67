"""TODO generation"""
