"""PLACEHOLDER until the owner of this file writes it."""
def trend(values, width=240, height=40): return "<svg/>"
def markdown(svg, alt): return alt
