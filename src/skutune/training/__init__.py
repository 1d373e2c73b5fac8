"""Fine-tuning of the base model: `sft.finetune` is the recipe, the other modules are its parts."""
