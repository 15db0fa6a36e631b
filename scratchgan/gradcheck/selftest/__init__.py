"""What tests this project and the checker itself: planted bugs, mutants, generated operators, and their scores."""
