# Read after the tenant's rule: one decision, or one exception, for each event. What memory or depth
# comes to is the runner's to report, so these two go on.
def __rules(events)
  events.map do |event|
    begin
      [decide(event)]
    rescue NoMemoryError, SystemStackError => limit
      raise limit
    rescue Exception => raised
      [raised.class.name, raised.message, (raised.backtrace || [])[0]]
    end
  end
end
