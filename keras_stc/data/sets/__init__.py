"""Which videos there are, and what their labels are."""
