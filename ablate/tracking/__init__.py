"""What happened: events, the journal that keeps them (the truth), and their way into MLflow."""
