"""Checks whether a box can hand its calls to Hearline, and whether agent assist will work: `hearline doctor`."""
