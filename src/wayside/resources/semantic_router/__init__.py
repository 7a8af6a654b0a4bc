"""A semantic router, run by the operator: ``SemanticRouter`` of ``vllm.ai/v1alpha1``."""
