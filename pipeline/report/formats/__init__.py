"""The formats of a report: table, JSON, CSV, XLSX, a page to print. All of them have the same integers."""
