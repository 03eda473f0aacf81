"""OpenAI's API, as far as the openai package needs it: chat completions, models, files, batches."""
