"""What people are told: alerts kept, sent, acknowledged, solved. It reads no table, judges nothing, and knows no Dagster."""
