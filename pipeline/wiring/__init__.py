"""The composition root: the only package that knows every concrete part and puts them together."""
