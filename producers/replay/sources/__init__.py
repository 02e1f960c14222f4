"""Where recorded events are read from: files, a range of a Kafka topic, the raw table of the running process."""
