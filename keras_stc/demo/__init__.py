"""What `keras-stc demo` runs on: videos made here, and the recipe that learns them."""
