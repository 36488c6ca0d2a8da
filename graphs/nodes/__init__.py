"""The steps of a turn, one file each: `async def step(state, runtime) -> update of the state`."""
