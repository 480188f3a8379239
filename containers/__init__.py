"""What is built into images, and how."""
