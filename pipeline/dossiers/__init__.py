"""What is known of single dossiers: the service, and its routes."""
