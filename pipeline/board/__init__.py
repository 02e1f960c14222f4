"""The live board: the page's data, their changes, and the stream that sends them."""
