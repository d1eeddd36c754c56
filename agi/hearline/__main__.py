from hearline.cli import main

main()
