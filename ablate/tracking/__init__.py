"""What happened: events and the journal that keeps them (the truth), and their projection into
MLflow.
"""
