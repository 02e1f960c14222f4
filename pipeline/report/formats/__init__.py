"""How a report is printed: table, JSON, CSV, XLSX, a page to print. All of them print the same integers."""
