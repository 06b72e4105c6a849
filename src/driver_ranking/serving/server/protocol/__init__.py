"""What a request may say and what an answer says, however it is sent."""
