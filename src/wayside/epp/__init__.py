"""An endpoint picker for a gateway's inference pool: a drop-in for llm-d's.

``wayside epp`` speaks the endpoint-picker protocol of the Gateway API Inference Extension over
Envoy's ext_proc: it is shown a request and says which of a pool's endpoints takes it. It routes
among one model's servers; which model answers was decided before.

Read :mod:`wayside.epp.session` for what is said, :mod:`wayside.epp.director` for how it is
decided.
"""
