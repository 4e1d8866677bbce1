ALTER TABLE tool_usage ADD COLUMN via TEXT; -- how a call that runs here came to be: injected, search, mcp
