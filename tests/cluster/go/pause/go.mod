// The process that holds a pod's namespaces on the test node.
module sageapi.io/tests/cluster/pause

go 1.24.0
