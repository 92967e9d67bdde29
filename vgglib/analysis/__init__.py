"""What is asked of records beyond the tables: verdicts side by side, questions asked again, errors looked at."""
