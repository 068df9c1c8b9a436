"""Small tools that know nothing of the model: folders that appear whole, the running commit, jobs side by side."""
