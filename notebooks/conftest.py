def pytest_collectstart(collector):
    # the backend's start-up notes on stderr differ from one machine to the next
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
