"""`miner report`: one HTML page about a workspace that loads nothing -> `report/index.html`."""
