"""Fine-tuning of the base model: `sft.finetune` is the recipe, every other module one part of it."""
