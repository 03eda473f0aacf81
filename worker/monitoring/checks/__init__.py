"""What `chartq doctor` looks at. Every check ends within seconds, and none costs money."""
