"""How a venue is run: locks, images, dashboards, alerts, local servers, documents."""
