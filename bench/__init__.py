"""Whole-process benchmarks: the pipeline compared with others on the same topic, in the same run, on the same machine."""
