"""What every augmentation keeps: draws by example, true lengths, targets that follow."""
