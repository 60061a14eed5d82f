"""What two services must agree on; imports no service, and nothing lives here that one service alone uses."""
