"""OpenAI's wire under `/v1`, for programs that speak it: models of every source, chats that may be kept or not.

Sign in with an API key as bearer. What OpenAI knows and this server does not do is refused with the parameter's name.
"""
