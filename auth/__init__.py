"""Who is calling: accounts by FastAPI-Users, sessions that can be ended, and limits on guessing."""
