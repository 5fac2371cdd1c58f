"""`miner report`: one self-contained HTML page about a workspace -> `report/index.html`."""
