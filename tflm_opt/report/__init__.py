"""Figures as text and as data: the only room that formats them for a reader."""
