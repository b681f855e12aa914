# Output goes by one native call; everything else of Kernel's is mruby's own.
module Kernel
  def print(*items)
    items.each { |item| __print(item.to_s) }
    nil
  end

  def puts(*items)
    __print("\n") if items.empty?
    items.each do |item|
      if item.is_a?(Array)
        item.empty? ? __print("\n") : puts(*item)
      else
        line = item.to_s
        __print(line.end_with?("\n") ? line : line + "\n")
      end
    end
    nil
  end

  def p(*items)
    items.each { |item| __print(item.inspect + "\n") }
    items.size < 2 ? items[0] : items
  end
end
