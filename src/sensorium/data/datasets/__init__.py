"""Data sets that installed packages bring, written as tables that every verb reads, without a download."""
