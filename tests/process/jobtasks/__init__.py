"""Tasks for tests of Jobs: a package of its own, so that the gateway's rule about tasks is not bent."""
