"""Commands about generative students: recipes, base models, the server they answer in."""
