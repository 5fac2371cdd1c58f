"""One self-contained page about a workspace -> report/index.html."""
