def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):  # the backend's start-up notes on stderr differ from one machine to the next
        collector.skip_compare += ("stderr",)
