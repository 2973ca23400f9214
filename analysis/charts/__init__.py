"""Interactive charts of the report page: Vega-Lite specifications and the rows that they draw."""
