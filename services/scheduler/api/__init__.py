"""HTTP for the ERP and the clerk, one file per noun. Bodies are schemas of their own, never tables."""
