"""What the pages of this project's servers share."""
