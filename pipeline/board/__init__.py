"""The live board: the data of its page, what changes in them, and the stream that sends both."""
