"""Charts as inline SVG. The style sheet of the page gives colours and type, so one drawing serves light and dark."""
